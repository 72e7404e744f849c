-- What has become of patches, so far. ARGV: run, kind, then patch and outcome by turns.
if not is_current() then return 0 end
record(ARGV[2], ARGV, 3)
return 1
