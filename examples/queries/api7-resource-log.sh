#!/bin/sh
# API7: what was done to one resource in the last 7 days?
# RESOURCE_ID is the resource; the default is a service of the simulator.
exec headwater query api7 --since 7d --filter "resource_id: ${RESOURCE_ID:-5848e4d5-7636-1454-f1f2-90d595e48093}" \
    --format table --columns 'time,event_type,operator.username,source,http_request.method,http_response.status_code' "$@"
