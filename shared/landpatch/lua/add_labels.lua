-- Make label tasks pending. ARGV: run, then task and message by turns.
if not is_current() then return 0 end
for i = 2, #ARGV, 2 do add_task('labels', ARGV[i], ARGV[i + 1]) end
return 1
