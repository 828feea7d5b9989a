"""The values that can be read off a loss store, one file a family; `estimators.registry` is the table of them all."""
