#!/bin/sh
# PactFlow: what did one user do?
# USER_EMAIL is the user; the default is one of the simulator.
exec headwater query pactflow --since 30d --where ".user_email == \"${USER_EMAIL:-ana@example.com}\"" \
    --format table --columns 'time,user_email,type,payload.method,payload.path' "$@"
