// Writes caches of yomins-sync by the bbolt that it uses, for tests and measurements of
// `mirror import-bbolt`.
//
//	go run . -kind statuses -out statuses.db
//	go run . -kind many -count 1000000 -out many.db
//
// Prints what it wrote, as a line of JSON.
package main

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// FileMeta is the original's record, with its keys.
type FileMeta struct {
	Size   int64  `json:"size"`
	MTime  int64  `json:"mtime"`
	Hash   string `json:"hash"`
	Status int    `json:"status"`
}

const (
	statusNew = iota
	statusSynced
	statusDeletedInSource
	statusTempDeleted
	statusError
)

const batch = 1000

// hash is an ETag as listings have it, quotes included.
func hash(number int) string {
	return fmt.Sprintf("\"%016x%016x\"", uint64(number)*0x9E3779B97F4A7C15, uint64(number)+1)
}

func meta(number, status int) FileMeta {
	return FileMeta{Size: int64(1000 + number), MTime: int64(1700000000 + number), Hash: hash(number), Status: status}
}

// key has about 100 bytes and rises with the number.
func key(number int) string {
	return fmt.Sprintf("tenant-%03d/album-%05d/%08x-cafe-4bad-8bad-%012x/original-%08d-0123456789.jpeg",
		number/100000, number/100, uint32(number), number, number)
}

func put(bucket *bolt.Bucket, key string, value FileMeta) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return bucket.Put([]byte(key), data)
}

// statuses has each status once, keys and values that nobody can use, a nested bucket, and another bucket.
func statuses(tx *bolt.Tx, name string) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte(name))
	if err != nil {
		return err
	}
	records := map[string]FileMeta{
		"a/new":          meta(1, statusNew),
		"a/synced":       meta(2, statusSynced),
		"a/deleted":      meta(3, statusDeletedInSource),
		"a/temp-deleted": meta(4, statusTempDeleted),
		"a/error":        meta(5, statusError),
		"a/parts":        {Size: 7, MTime: 1700000006, Hash: "\"0123456789abcdef0123456789abcdef-3\"", Status: statusSynced},
		"a/no-hash":      {Size: 8, MTime: 1700000007, Hash: "", Status: statusSynced},
		"ä/日本 & <x>":     meta(8, statusSynced),
		"../escape":      meta(9, statusSynced),
		"b//double":      meta(10, statusSynced),
		"b/status":       meta(11, 7),
		"b/size":         {Size: -1, MTime: 1, Hash: hash(12), Status: statusSynced},
		// Longer than a page: it takes one that overflows.
		"c/long": {Size: 9, MTime: 1700000008, Hash: "\"" + strings.Repeat("long", 1200) + "\"", Status: statusSynced},
	}
	for key, value := range records {
		if err := put(bucket, key, value); err != nil {
			return err
		}
	}
	if err := bucket.Put([]byte("b/json"), []byte(`{"size":1,"mtime":`)); err != nil {
		return err
	}
	if _, err := bucket.CreateBucket([]byte("b/nested")); err != nil {
		return err
	}
	other, err := tx.CreateBucketIfNotExists([]byte("another"))
	if err != nil {
		return err
	}
	return put(other, "not-this", meta(13, statusSynced))
}

// site has files whose hashes are those of their bodies, for tests with servers. The bucket is so small that it
// is in the page of another where pages have 4 KiB.
func site(tx *bolt.Tx, name string) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte(name))
	if err != nil {
		return err
	}
	for key, status := range map[string]int{
		"changed": statusSynced,
		"deleted": statusDeletedInSource,
		"failed":  statusError,
		"gone":    statusSynced,
		"lied":    statusSynced,
		"new":     statusNew,
		"same":    statusSynced,
		"seen":    statusTempDeleted,
	} {
		// Each has its key as its body.
		sum := md5.Sum([]byte(key))
		hash := "\"" + hex.EncodeToString(sum[:]) + "\""
		value := FileMeta{Size: int64(len(key)), MTime: 1700000000, Hash: hash, Status: status}
		if err := put(bucket, key, value); err != nil {
			return err
		}
	}
	return nil
}

// many puts count synced keys in batches as the original does: in the random order of a Go map. Then it
// deletes every tenth, and changes every seventh, so that pages are scattered and some are free.
func many(db *bolt.DB, name string, count int) error {
	return errorsOf(
		batches(db, name, count, 1, func(bucket *bolt.Bucket, number int) error {
			return put(bucket, key(number), meta(number, statusSynced))
		}),
		batches(db, name, count, 7, func(bucket *bolt.Bucket, number int) error {
			return put(bucket, key(number), meta(number+1, statusTempDeleted))
		}),
		batches(db, name, count, 10, func(bucket *bolt.Bucket, number int) error {
			return bucket.Delete([]byte(key(number)))
		}),
	)
}

func errorsOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// batches has each number that step divides done, a batch a transaction.
func batches(db *bolt.DB, name string, count, step int, each func(*bolt.Bucket, int) error) error {
	for from := 0; from < count; from += batch * step {
		pending := map[int]bool{}
		for number := from; number < count && number < from+batch*step; number += step {
			pending[number] = true
		}
		err := db.Update(func(tx *bolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte(name))
			if err != nil {
				return err
			}
			for number := range pending {
				if err := each(bucket, number); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func run() error {
	kind := flag.String("kind", "many", "statuses, many or site")
	out := flag.String("out", "cache.db", "file to write")
	count := flag.Int("count", 1000, "keys of `many`")
	name := flag.String("bucket", "files", "name of the bucket")
	pageSize := flag.Int("page-size", 4096, "bytes of a page")
	flag.Parse()

	// Nothing is synced: what is written is read by others, not after a crash.
	options := &bolt.Options{PageSize: *pageSize, NoSync: true, Timeout: time.Second}
	db, err := bolt.Open(*out, 0o600, options)
	if err != nil {
		return err
	}
	defer db.Close()
	switch *kind {
	case "statuses":
		err = db.Update(func(tx *bolt.Tx) error { return statuses(tx, *name) })
	case "many":
		err = many(db, *name, *count)
	case "site":
		err = db.Update(func(tx *bolt.Tx) error { return site(tx, *name) })
	default:
		err = fmt.Errorf("no kind is %q", *kind)
	}
	if err != nil {
		return err
	}
	return db.View(func(tx *bolt.Tx) error {
		stats := tx.Bucket([]byte(*name)).Stats()
		line := map[string]any{
			"keys": stats.KeyN, "depth": stats.Depth, "leaf_pages": stats.LeafPageN,
			"overflow_pages": stats.LeafOverflowN, "file_bytes": tx.Size(),
		}
		return json.NewEncoder(os.Stdout).Encode(line)
	})
}

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatalf("bbolt-cache: %v", err)
	}
}
