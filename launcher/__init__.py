"""The launcher: starts the whole system on one machine, watches over it and takes it down without a trace."""
