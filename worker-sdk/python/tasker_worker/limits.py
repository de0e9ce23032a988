"""Every bound of the SDK, with its reason. Times are seconds, sizes are bytes."""

SLOTS_DEFAULT = 8
#: A worker that wants more is better started twice.
SLOTS_MAX = 10_000

#: What the protocol allows: more is refused by the coordinator.
LABELS_MAX = 32
LABEL_BYTES_MAX = 256

#: ``message`` of a failure; the protocol cuts there.
MESSAGE_BYTES_MAX = 4 * 1024
#: A stable error code.
CODE_BYTES_MAX = 64
#: More violations than this help nobody.
VIOLATIONS_MAX = 20
#: Progress travels in every beat.
PROGRESS_BYTES_MAX = 4 * 1024

#: What one ``ReplyBatch`` may hold.
BATCH_REPLIES_MAX = 64
BATCH_BYTES_MAX = 256 * 1024
#: What an envelope may add to a payload before NATS refuses the message.
ENVELOPE_BYTES = 8 * 1024
#: Until the coordinator has said its limit.
PAYLOAD_BYTES_UNTIL_TOLD = 512 * 1024

#: Past this many unacknowledged replies no credit is granted until the
#: coordinator catches up: it bounds memory and the size of a beat.
UNACKNOWLEDGED_MAX = 8_192

#: Silence after a hello: say it again after 1, 2, 4, then every 5 seconds.
HELLO_WAIT_FIRST = 1.0
HELLO_WAIT_MAX = 5.0
#: Until the first ``Welcome`` says otherwise.
HEARTBEAT_UNTIL_TOLD = 5.0
RESEND_UNTIL_TOLD = 1.0
#: No coordinator means a shorter period; it would make the worker spin.
PERIOD_MIN = 0.01
#: A reply is never sent again later than this after the time before.
RESEND_MAX = 10.0

#: How long a drain lets handlers finish unless the user chose another time.
DRAIN_TIMEOUT = 30.0
#: A cancelled handler gets this long to notice; then it is answered for.
CANCEL_GRACE = 2.0
#: The last replies wait this long for their acknowledgements; then the
#: coordinator gives those attempts to others.
ACKNOWLEDGE_GRACE = 10.0

#: Waits between attempts to reach a server double up to this, with full jitter,
#: so that a fleet does not arrive in one instant.
RECONNECT_WAIT_FIRST = 0.1
RECONNECT_WAIT_MAX = 5.0
CONNECT_TIMEOUT = 5.0
FLUSH_TIMEOUT = 5.0
#: A dead connection is noticed after two unanswered pings.
PING_INTERVAL = 10
PINGS_OUTSTANDING_MAX = 2
#: What may wait for the socket before publishing waits too.
PENDING_BYTES_MAX = 8 * 1024 * 1024
#: nats-py does not always report that it closed; a look this often finds out.
CLOSED_CHECK_INTERVAL = 1.0
