#!/bin/sh
# Anypoint: what did one user do between two dates, years ago for example?
# USER_ID is the user; SINCE and UNTIL are ages or dates, such as 2021-03-01.
exec headwater query anypoint --since "${SINCE:-5d}" --until "${UNTIL:-1d}" \
    --filter "user_ids: [${USER_ID:-b449eaf7-6312-42ad-9b40-000000000002}]" \
    --format table --columns 'time,userName,platform,action,objects[0].objectType,objects[0].objectName' "$@"
