#!/bin/sh
# Put this image's code into the project volume. What the user owns there stays as it is: params.yaml,
# data, accepted profiles of data, data.dvc, dvc.lock and results.
set -eu

image=/opt/coldstart
project=${COLDSTART_PROJECT:-/project}

mkdir -p "$project/.dvc" "$project/expectations"
for code in src dags dvc.yaml .dvcignore; do
    rm -rf "${project:?}/$code"
    cp -R "$image/$code" "$project/$code"
done
cp -Rn "$image/expectations/." "$project/expectations/"
[ -e "$project/params.yaml" ] || cp "$image/params.yaml" "$project/params.yaml"
# there is no git in the image: DVC must not look for it
printf '[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n' \
    >"$project/.dvc/config"

cd "$project"
exec "$@"
