#!/bin/sh
# Anypoint: who deployed which application?
exec headwater query anypoint --since 30d \
    --filter 'object_types: [Application, application]' --filter 'actions: [Deploy, deploy]' \
    --format table --columns 'time,userName,clientName,objects[0].objectName,objects[0].environmentName,failed' "$@"
