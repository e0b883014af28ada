"""How well something predicts: figures, their intervals, published detectors."""
