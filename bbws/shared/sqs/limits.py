"""Limits of SQS and SNS, as AWS documents them."""

BATCH_ENTRIES = 10
ATTRIBUTES = 10
SQS_MESSAGE_BYTES = 1024 * 1024  # body and attributes, of one message and of one batch
SNS_MESSAGE_BYTES = 256 * 1024
VISIBILITY_S = 12 * 60 * 60  # counted from the receive, not from the last extension
DELAY_S = 15 * 60
WAIT_TIME_S = 20
