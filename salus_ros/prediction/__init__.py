"""Predicting failures from the signals: model, training, evaluation and the live predictor."""
