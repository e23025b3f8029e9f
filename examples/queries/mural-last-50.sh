#!/bin/sh
# Mural: what were the last 50 events?
exec headwater query mural --since 29d --last 50 \
    --format table --columns 'time,action,actor.name,affected.type,affected.name' "$@"
