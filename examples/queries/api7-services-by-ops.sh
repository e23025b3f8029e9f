#!/bin/sh
# API7: which services did Ops create in the last 30 days?
# OPERATOR is the user's name or e-mail address. The API filters by the type of event, headwater by the name.
exec headwater query api7 --since 30d --filter 'event_type: Add Service' --filter "operator: '${OPERATOR:-ops}'" \
    --format table --columns 'time,operator.email,resource_name,resource_id,http_response.status_code' "$@"
