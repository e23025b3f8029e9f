#!/bin/sh
# Anypoint: which users were enabled, as an edit in an environment?
# ENVIRONMENT_ID is the environment; the default is the one of the simulator.
exec headwater query anypoint --since 30d \
    --filter 'object_types: [User, user]' --filter 'actions: [edit, Edit]' --filter 'sub_actions: [Enable user]' \
    --filter "environment_ids: [${ENVIRONMENT_ID:-c1d2045d-5ba9-4d0e-9f3b-a9b94336beeb}]" \
    --format table --columns 'time,userName,objects[0].objectName,payload.subaction,objects[0].environmentName' "$@"
