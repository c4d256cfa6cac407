"""The command line: reads arguments, and nothing else; what a command does is in `bbws.commands`."""
