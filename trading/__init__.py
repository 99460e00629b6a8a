"""StocKing without frameworks: rules, market, database and use cases. Each package is a floor; an import may only point down."""

__version__ = "0.1.0"
