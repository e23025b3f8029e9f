#!/bin/sh
# Mural: what happened between two dates?
# SINCE and UNTIL are ages or dates, such as 2026-01-31 or 2026-01-31T08:00:00Z.
exec headwater query mural --since "${SINCE:-5d}" --until "${UNTIL:-3d}" \
    --format table --columns 'time,action,actor.name,affected.type,affected.name' "$@"
