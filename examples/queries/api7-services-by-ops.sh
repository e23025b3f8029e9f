#!/bin/sh
# API7: which services did Ops create in the last 30 days?
# The API filters by the type of event and by the id of a user; by a name, headwater does.
exec headwater query api7 --since 30d --filter 'event_type: Add Service' --where '.operator.username == "Ops"' \
    --format table --columns 'time,operator.email,resource_name,resource_id,http_response.status_code' "$@"
