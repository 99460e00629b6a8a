"""KRX rules: calendar, trading hours, price grid and limits, fees and taxes."""
