// Package sdk is what authors of Upkeep plugins see: small Go types, Serve, and
// optional interfaces that a plugin implements to do more.
//
// A checker looks at something and says how it is:
//
//	func main() { sdk.Serve(sdk.Info{Name: "disk", Version: "0.1.0"}, diskChecker{}) }
//
//	func (diskChecker) Check(ctx context.Context, req sdk.Request) (sdk.Result, error) {
//		free, err := freeRatio("/")
//		if err != nil {
//			return sdk.Result{}, fmt.Errorf("read free space of /: %w", err) // the status is unknown
//		}
//		status := sdk.Healthy
//		if free < 0.05 {
//			status = sdk.Critical
//		}
//		return sdk.Result{Metrics: []sdk.Metric{sdk.Number("disk_free_ratio", free, status)}}, nil
//	}
//
// A strategy (Strategy) is shown a situation and proposes what to do; the host,
// behind its guard and breaker, acts. A plugin may be both.
//
// Further abilities are optional interfaces, found by their methods: Configurer
// (embed *Config and get a typed configuration, its JSON Schema and its
// diagnostics), Watcher, Executor, Shutdowner.
//
// A plugin is a function: everything it needs is in the request, and nothing it
// remembers between two calls may matter, since the host restarts plugins at will.
//
// The package owns the author's vocabulary and its translation to and from the
// wire, and the life of a plugin process. It refuses to know the host. Authors'
// programs call it, and the tests of sdk/checkertest. Serve runs goroutines that
// watch for the end of the host and of the process, and one for each call that
// is under way; they end with the process.
package sdk
