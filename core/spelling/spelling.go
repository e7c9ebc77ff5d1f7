// Package spelling finds the word that somebody probably meant, for messages
// about flags, keys, variables and codes that do not exist. It knows nothing of
// what the words name, and has no state.
package spelling

// maxSlips bounds how far apart long words may be.
const maxSlips = 8

// Nearest is the one among known that is spelt most like word, the first of
// several, or empty when none is spelt alike: at most a third of word's bytes may
// be missing, added, wrong or swapped with their neighbour, and one always may.
// It tells capital from small letters.
func Nearest(word string, known []string) string {
	near, least := "", 1+max(1, min(len(word)/3, maxSlips))
	for _, k := range known {
		if d := distance(word, k, least); d < least {
			near, least = k, d
		}
	}
	return near
}

// distance counts the bytes to insert, drop, replace or swap with their
// neighbour to make a into b; it gives up with limit when they are further apart.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row := rows[(i+2)%3], rows[i%3], rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return min(limit, rows[(len(a)+1)%3][len(b)])
}
