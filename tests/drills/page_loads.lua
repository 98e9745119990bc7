-- For wrk: page loads that follow their assets, at full rate. Each page that comes puts what it names in the queue;
-- any connection of the thread then asks for it. A file is right when it is as long as its own first line says.
local waiting = {}
pages, files, wrong, first = 0, 0, 0, ""
local threads = {}

function setup(thread) table.insert(threads, thread) end

function request() return wrk.format("GET", table.remove(waiting) or "/") end

local function note(what)
  wrong = wrong + 1
  if first == "" then first = what end
end

function response(status, headers, body)
  if status ~= 200 then return note("answered with " .. status) end
  if body:sub(1, 1) == "<" then
    pages = pages + 1
    for name in body:gmatch('"(/assets/[^"]+)"') do table.insert(waiting, name) end
    return
  end
  files = files + 1
  local length = body:match("^/%* whole %d+ (%d+) %*/")
  if tonumber(length) ~= #body then note("a file of " .. #body .. " bytes that is not what was built") end
end

function done(summary, latency, requests)
  local total = { pages = 0, files = 0, wrong = 0, first = "" }
  for _, thread in ipairs(threads) do
    for name, value in pairs(total) do
      local got = thread:get(name)
      total[name] = type(value) == "number" and value + got or (value ~= "" and value or got)
    end
  end
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("loads %d %d %d %d %d %.3f %s\n", summary.requests, total.pages, total.files, total.wrong,
    lost, latency:percentile(99) / 1000, total.first))
end
