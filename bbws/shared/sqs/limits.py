"""Limits of SQS and SNS, as AWS documents them; times in seconds."""

MAX_BATCH_ENTRIES = 10
MAX_ATTRIBUTES = 10
MAX_SQS_MESSAGE_BYTES = 1024 * 1024  # body and attributes, of one message and of one batch
MAX_SNS_MESSAGE_BYTES = 256 * 1024
MAX_VISIBILITY_S = 12 * 60 * 60  # counted from the receive, not from the last extension
MAX_DELAY_S = 15 * 60
MAX_WAIT_TIME_S = 20
MIN_RETENTION_S = 60
MAX_RETENTION_S = 14 * 24 * 60 * 60
