"""What recorded episodes and predictors look like: numbers, figures, pages, terminal tables."""
