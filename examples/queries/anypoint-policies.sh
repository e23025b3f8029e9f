#!/bin/sh
# Anypoint: which policies were applied to which APIs?
exec headwater query anypoint --since 30d \
    --filter 'object_types: [policy, Policy]' --filter 'actions: [create, Create]' \
    --format table --columns 'time,userName,clientName,objects[0].objectName,objects[0].parentId,objects[0].parentName' "$@"
