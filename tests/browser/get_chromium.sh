#!/bin/sh
# A browser for the browser tests: the one that is there, else Debian's, if this may be installed.
there() { command -v "${CHROMIUM:-chromium}" || command -v chromium-browser || command -v google-chrome; }
there && exit
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -qq -y chromium >/dev/null && there && exit
fi
echo "The browser tests need Chromium or Chrome: install one, or name it by \$CHROMIUM." >&2
exit 1
