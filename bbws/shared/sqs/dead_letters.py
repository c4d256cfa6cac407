"""Names of the headers that a dead letter carries beside those it was published with.

Public, for those who look into dead-letter queues. What SQS redrove by itself has none of them.
"""

from .wire import REQUEUED

REASON = "dead-letter-reason"
EXCEPTION = "dead-letter-exception"
HANDLER = "dead-letter-handler"
QUEUE = "dead-letter-queue"
FIRST_SEEN = "dead-letter-first-seen"
RECEIVE_COUNT = "dead-letter-receive-count"
MESSAGE_ID = "dead-letter-message-id"
TRACE_ID = "dead-letter-trace-id"

HEADERS = frozenset({REASON, EXCEPTION, HANDLER, QUEUE, FIRST_SEEN, RECEIVE_COUNT, MESSAGE_ID, TRACE_ID, REQUEUED})
"""All of them, and the count of earlier failures: a message that is sent back to its queue must not carry these."""
