"""The live market as data: ticks, the names they have in Redis, the book of last quotes, the relayer's health and the stock list."""
