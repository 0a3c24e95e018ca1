// Package hub finds published weights by their names, downloads them and keeps them.
//
// A name is a line of the table (table.go), which tools/weights_table.py makes, or any
// repository of the Hugging Face hub (name.go). What comes from that hub is kept in
// huggingface_hub's own cache (cache.go), so that each program finds the other's files;
// files that have a URL of their own are kept in a cache of effnet's (plain.go). Either is
// downloaded by download.go, which continues what was left, and client.go, which knows what
// to try again. Nothing has its final name before it is whole and checked.
package hub
