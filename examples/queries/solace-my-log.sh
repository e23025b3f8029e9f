#!/bin/sh
# Solace: what is in my own log?
# USER_ID is your id. A token with "Retrieve my audit logs" shows nothing else; from any other token this takes your part.
exec headwater query solace --since 30d --where ".userId == \"${USER_ID:-u7k2p0c9x4e}\"" \
    --format csv --columns time,eventCategory,eventType,status,source "$@"
