#!/bin/sh
# PactFlow: what was done in the web interface, and not by a client or a build?
exec headwater query pactflow --since 30d --where 'starts_with(string(.payload.userAgent) ?? "", "Mozilla/")' \
    --format table --columns 'time,user_email,payload.method,payload.path' "$@"
