"""DynamoDB without any feature in it: codec, cursors, and a table client that speaks in plain dictionaries."""
