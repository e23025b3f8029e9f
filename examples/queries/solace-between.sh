#!/bin/sh
# Solace: what happened between two dates?
# SINCE and UNTIL are ages or dates, such as 2026-01-31 or 2026-01-31T08:00:00Z.
exec headwater query solace --since "${SINCE:-3d}" --until "${UNTIL:-1d}" \
    --format csv --columns time,userId,eventCategory,eventType,status "$@"
