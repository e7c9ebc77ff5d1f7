// Package checkertest proves that a checker keeps the contract of Upkeep's
// plugins, in one line of an author's test:
//
//	func TestChecker(t *testing.T) {
//		checkertest.Run(t, diskChecker{sdk.NewConfig(defaults)}, checkertest.Info(info))
//	}
//
// It owns the list of what a checker must do. It refuses to know what the
// checker looks at: whether its judgement is right is for the author's own tests
// to say. Tests call it. Everything goes over real gRPC within the test's process; the
// goroutines of server and connection end before Run returns.
package checkertest
