"""What several folders of tests and the tools share: environments, private Airflows, a browser, a virtual clock."""
