#!/bin/sh
# Solace: what belongs to one trace?
# TRACE_ID is the trace; the default is one of the simulator.
exec headwater query solace --since 30d --filter "trace_id: ${TRACE_ID:-80f6614f88323496}" \
    --format csv --columns time,userId,eventType,status,traceId "$@"
