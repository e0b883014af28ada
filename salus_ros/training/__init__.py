"""Training a predictor: data set, split, fitting, calibration."""
