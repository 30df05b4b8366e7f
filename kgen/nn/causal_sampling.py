"""Draws images from a PixelCNN, each activation computed once.

Recomputing the image for every pixel costs a pass over all pixels for each of them. Here the vertical stacks of a row
are computed when the rows above are known, the horizontal ones as their pixel's turn comes, from what was kept of the
row before and of the pixel before: the work of about one pass in all (Ramachandran et al. 2017,
https://arxiv.org/abs/1704.06001).
"""

import tensorflow as tf

from kgen.nn import pixels
from kgen.nn.causal import FIRST_COLUMNS, FIRST_ROWS, PixelCNN


def sample(network: PixelCNN, condition, noise, levels: int):
    """Pixels in raster order.

    Args:
        network: p(x | condition).
        condition: [B, H, W, .].
        noise: [B, H, W, C] uniform in [0, 1].
        levels: of a pixel.

    Returns:
        [B, H, W, C] float32 levels.
    """
    batch, (height, width, _) = tf.shape(noise)[0], noise.shape[1:]
    told = _told(network, condition)

    def row(i, drawn, above, kept):
        said, kept = _vertical(network, above, kept)
        line = _row(network, said + told[:, i], condition[:, i], noise[:, i], levels)
        drawn += tf.reshape(tf.one_hot(i, height), (1, height, 1, 1)) * line[:, None]
        return i + 1, drawn, tf.concat([above[:, 1:], pixels.signed(line, levels)[:, None]], axis=1), kept

    above = tf.zeros((batch, FIRST_ROWS, *noise.shape[2:]))
    kept = tf.zeros((batch, len(network.gated), width, network.width), network.compute_dtype)
    start = (tf.constant(0), tf.zeros_like(noise), above, kept)
    return tf.while_loop(lambda i, *_: i < height, row, start)[1]


def _told(network: PixelCNN, condition):
    """What the condition says to each layer at each pixel: [B, H, W, layers, 2 p]."""
    told = [layer.told(condition) for layer in network.gated[network.free :]]
    return tf.stack([tf.zeros_like(told[0])] * network.free + told, axis=3)


def _vertical(network: PixelCNN, above, kept):
    """The vertical stacks of one row.

    Args:
        above: [B, FIRST_ROWS, W, C], the image's rows above it.
        kept: [B, layers, W, p], what each layer saw of the row above.

    Returns:
        What they say to the horizontal stacks, [B, W, layers, 2 p], and the next `kept`.
    """
    v, seen, told = network.first.vertical(above, top=0), [], []
    for i, layer in enumerate(network.gated):
        seen.append(v)
        v, said = layer.vertical(tf.concat([kept[:, i : i + 1], v], axis=1), top=0)
        told.append(said)
    return tf.stack([said[:, 0] for said in told], axis=2), tf.concat(seen, axis=1)


def _row(network: PixelCNN, said, condition, noise, levels: int):
    """The pixels of one row, from the left: [B, W, C] levels.

    Args:
        said: [B, W, layers, 2 p], what the horizontal stacks are told.
        condition: [B, W, .].
        noise: [B, W, C] uniform.
    """
    batch, (width, channels) = tf.shape(noise)[0], noise.shape[1:]

    def pixel(j, line, before, kept):
        h, seen = network.first.pixel(before), []
        for i, layer in enumerate(network.gated):
            seen.append(h)
            h = layer.pixel(kept[:, i], h, said[:, j, i])
        x, drawn = network.head.merge(h, condition[:, j]), tf.zeros((batch, 0))
        for c in range(channels):
            logits = network.head.channel(c, x, pixels.signed(drawn, levels))
            drawn = tf.concat([drawn, pixels.draw(logits, noise[:, j, c])[:, None]], axis=1)
        line += tf.reshape(tf.one_hot(j, width), (1, width, 1)) * drawn[:, None]
        before = tf.concat([before[:, channels:], pixels.signed(drawn, levels)], axis=1)
        return j + 1, line, before, tf.stack(seen, axis=1)

    before = tf.zeros((batch, FIRST_COLUMNS * channels))
    kept = tf.zeros((batch, len(network.gated), network.width), network.compute_dtype)
    return tf.while_loop(lambda j, *_: j < width, pixel, (tf.constant(0), tf.zeros_like(noise), before, kept))[1]
