#!/bin/sh
# Installs the libraries that WeasyPrint draws PDFs with, where they are missing and apt-get can be used.
# libharfbuzz-subset0 is not strictly needed, but makes a PDF three to four times faster.
set -eu
packages="libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core fontconfig"

if command -v dpkg-query >/dev/null 2>&1; then
    missing=""
    for package in $packages; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
    done
    [ -z "$missing" ] && exit 0
    if command -v apt-get >/dev/null 2>&1; then
        sudo=""
        [ "$(id -u)" -eq 0 ] || sudo="sudo"
        if [ -z "$sudo" ] || sudo -n true 2>/dev/null; then
            echo "installing$missing"
            # shellcheck disable=SC2086  # a list of package names
            { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >/dev/null && exit 0
        fi
    fi
    echo "please install these packages, then run make again:$missing" >&2
    exit 1
fi

if command -v pango-view >/dev/null 2>&1 || [ "$(uname)" = "Darwin" ] && [ -d /opt/homebrew/opt/pango ]; then exit 0; fi
echo "PDFs need Pango, HarfBuzz and a font (macOS: brew install pango; Fedora: dnf install pango dejavu-sans-fonts)" >&2
exit 0
