# Functions of the scripts in this folder.

# needs_images DIR: stop where DIR does not hold the folders train and test.
needs_images() {
  local part
  for part in train test; do
    [ -d "$1/$part" ] ||
      fail "no folder $1/$part; name the one that holds train/<class>/ and test/<class>/"
  done
}

# first_images FROM TO PART:COUNT...: a smaller data set in TO.
# It holds the first COUNT images, by name, of each class in FROM's folders train and test.
first_images() {
  local words part count class goal
  for words in "${@:3}"; do
    part=${words%:*} count=${words#*:}
    for class in "$1/$part"/*/; do
      goal=$2/$part/$(basename "$class")
      mkdir -p "$goal"
      find "$class" -type f | sort | sed -n "1,${count}p" | xargs -d '\n' cp -t "$goal"
    done
  done
}
