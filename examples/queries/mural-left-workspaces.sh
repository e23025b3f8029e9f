#!/bin/sh
# Mural: who has left a workspace since a date?
# SINCE is an age or a date, such as 2026-01-31.
exec headwater query mural --since "${SINCE:-29d}" --filter 'actions: [LEAVE_WORKSPACE]' \
    --format table --columns 'time,actor.name,actor.email,affected.name' "$@"
