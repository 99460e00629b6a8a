"""Stocks: master data, search, prices, candles, indices and the Toss REST client."""
