# needs_images FROM: stop where FROM does not hold the parts train and test.
needs_images() {
  local part
  for part in train test; do
    [ -d "$1/$part" ] || fail "no folder $1/$part; name the one that holds train/<class>/ and test/<class>/"
  done
}

# first_images FROM TO PART:COUNT ...: a smaller data set, the first COUNT images (by name) of each class of FROM's parts train and test.
first_images() {
  local part class to
  for part in "${@:3}"; do
    for class in "$1/${part%:*}"/*/; do
      to=$2/${part%:*}/$(basename "$class")
      mkdir -p "$to"
      find "$class" -type f | sort | sed -n "1,${part#*:}p" | xargs -d '\n' cp -t "$to"
    done
  done
}
