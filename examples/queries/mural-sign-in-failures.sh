#!/bin/sh
# Mural: what were the last 25 sign-in failures?
exec headwater query mural --since 29d --last 25 --filter 'actions: [SIGN_IN_FAILURE]' \
    --format table --columns 'time,actor.name,actor.email,ip' "$@"
