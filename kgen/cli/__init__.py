"""The commands: flags are parsed first, TensorFlow is imported after."""
