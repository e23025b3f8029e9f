#!/bin/sh
# Mural: which murals were created?
exec headwater query mural --since 29d --filter 'actions: [CREATE_MURAL]' \
    --format table --columns 'time,actor.name,affected.name,affected.id' "$@"
