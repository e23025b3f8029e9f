#!/bin/sh
# PactFlow: who created, updated or deleted contracts?
# The API cannot filter by that; headwater does. PactFlow creates and updates a contract by the same request, PUT.
exec headwater query pactflow --since 30d \
    --where 'path = string(.payload.path) ?? ""
        (starts_with(path, "/pacts/") || path == "/contracts/publish") && .payload.method != "GET"' \
    --format table --columns 'time,user_email,payload.method,payload.path' "$@"
