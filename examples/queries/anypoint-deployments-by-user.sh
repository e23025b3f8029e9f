#!/bin/sh
# Anypoint: which applications did one user deploy?
# USER_ID is the user; the default is one of the simulator.
exec headwater query anypoint --since 30d \
    --filter 'object_types: [Application, application]' --filter 'actions: [Deploy, deploy]' \
    --filter "user_ids: [${USER_ID:-b449eaf7-6312-42ad-9b40-000000000002}]" \
    --format table --columns 'time,userName,objects[0].objectName,objects[0].environmentName,failed' "$@"
