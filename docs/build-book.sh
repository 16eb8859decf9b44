#!/bin/sh
# Builds the book into target/book with mdBook. The pages link to files outside docs/ (measurements, model cards, settings),
# so a copy of all of them is laid out as in the repository, with the summary at its root.
set -eu
cd "$(dirname "$0")/.."
deploy/install-cargo-tool.sh mdbook 0.5.4

pages=target/book-pages
rm -rf "$pages" target/book
mkdir -p "$pages/tests/bench"
cp -r docs configs deploy README.md CONTRIBUTING.md CHANGELOG.md CITATION.cff "$pages"
cp -r tests/bench/results "$pages/tests/bench"
find onnx -name card.md | while read -r card; do
    mkdir -p "$pages/$(dirname "$card")"
    cp "$card" "$pages/$card"
done
mv "$pages/docs/book.toml" "$pages"
# Links of the summary, from the root: `../` falls away, and other pages lie in docs/.
sed -e 's#](\([^)]\)#](docs/\1#' -e 's#](docs/\.\./#](#' "$pages/docs/SUMMARY.md" > "$pages/SUMMARY.md"
rm "$pages/docs/SUMMARY.md" "$pages/docs/build-book.sh"
target/tools/bin/mdbook build "$pages" --dest-dir "$PWD/target/book"
echo "build-book: $PWD/target/book/index.html"
