"""Averaged weights (Polyak & Juditsky 1992): evaluated, shown and exported in place of those that training moves.

Keras' optimizers keep an exponential moving average of the weights in slots of their own (`use_ema=True`) and leave it
to the training loop to use it. Here weights and averages change places: while they are swapped the model *is* the
average, and a checkpoint written then holds the average as its weights, for everyone who only wants to sample, and the
weights that training goes on with in the optimizer's slots, for who resumes from "last": load, compile, `swap`.
"""


def momentum_of(halflife_images: float, batch_size: int) -> float:
    """The momentum a step with which an image's influence on the average halves after `halflife_images` more."""
    return 0.5 ** (batch_size / halflife_images)


def pairs_of(model) -> list[tuple]:
    """(weight, its average) of every phase whose optimizer keeps averages."""
    pairs = []
    for phase in model.phases():
        optimizer = model.phase_optimizers[phase.name]
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
        if optimizer.use_ema:
            pairs += zip(phase.weights, optimizer._model_variables_moving_average, strict=True)
    return pairs


def start(model) -> None:
    """Begins every average at the weight itself; Keras begins at 0 and copies the weight in its first step."""
    for weight, average in pairs_of(model):
        average.assign(weight)


def swap(model) -> None:
    """Weights and averages change places; a second call undoes it."""
    for weight, average in pairs_of(model):
        value = weight.numpy()
        weight.assign(average)
        average.assign(value)
